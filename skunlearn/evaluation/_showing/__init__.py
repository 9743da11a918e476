"""How a report is shown: colours, differences to retrained, words, pages."""
