output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Its addresses."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Subnets of load balancers, by availability zone."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "private_subnet_ids" {
  description = "Subnets of nodes and pods, by availability zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "database_subnet_ids" {
  description = "Subnets of databases, by availability zone."
  value       = { for zone, subnet in aws_subnet.database : zone => subnet.id }
}

output "database_cidrs" {
  description = "Addresses of the database subnets, for network policies."
  value       = [for subnet in aws_subnet.database : subnet.cidr_block]
}

output "nat_addresses" {
  description = "Public addresses of the cluster's outgoing connections."
  value       = [for address in aws_eip.nat : address.public_ip]
}

output "nat_gateway_ids" {
  description = "NAT gateways by availability zone."
  value       = { for zone, gateway in aws_nat_gateway.this : zone => gateway.id }
}
