"""What the laptop warns of on a card, one file a kind; `table` lists all of them."""
