"""The paper's studies I, II and III, and ablations beside them."""
