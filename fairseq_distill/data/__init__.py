"""What is drawn, masked and shown at each update: plain functions, and the fairseq dataset over them."""
