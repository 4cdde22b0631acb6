"""lbsync: take an Exchange farm off its own TLS, or across the balancer, and keep it right."""
