"""How a coordinator comes to lead, whom it lets in, and what it does while another leads."""
