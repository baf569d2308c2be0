"""The command `view`: shows a run in the browser, while it trains and afterwards."""
