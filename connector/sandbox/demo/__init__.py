"""The sample retailer that the demo and the starter project run on."""
