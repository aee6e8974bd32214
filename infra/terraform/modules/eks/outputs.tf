output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "Address of its API."
  value       = aws_eks_cluster.this.endpoint
}

output "oidc_provider_arn" {
  description = "The IAM OIDC provider that service accounts' roles trust."
  value       = aws_iam_openid_connect_provider.this.arn
}

output "security_group_id" {
  description = "The security group of nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "node_role_arn" {
  description = "The nodes' role; Karpenter's EC2NodeClass names it too."
  value       = aws_iam_role.node.arn
}

output "component_role_arns" {
  description = "Roles of the cluster's components, for their service accounts' annotations."
  value       = { for name, role in aws_iam_role.component : name => role.arn }
}
