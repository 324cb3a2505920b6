"""What is made from the models and classes: JSON Schemas and reference pages. `syncline generate` writes them."""
