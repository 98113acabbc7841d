"""What usage tells beyond figures: savings, spikes, availability, forecasts.

Everything here is derived from the log, the roll-ups and the price book, and can be found anew.
What people should hear of goes to `notices.on_notice`, into which `budgets` registers its mails.
"""
