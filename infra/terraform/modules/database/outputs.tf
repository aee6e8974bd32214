output "identifier" {
  description = "The instance's identifier."
  value       = aws_db_instance.this.identifier
}

output "arn" {
  description = "The instance's ARN."
  value       = aws_db_instance.this.arn
}

output "address" {
  description = "The host that services connect to (DB_HOST)."
  value       = aws_db_instance.this.address
}

output "security_group_id" {
  description = "The instance's security group."
  value       = aws_security_group.this.id
}

output "secret_names" {
  description = "Database (and its owner) -> name of the secret with its host, name, user and password."
  value       = { for key, database in local.databases : database => aws_secretsmanager_secret.this[key].name }
}

output "secret_arns" {
  description = "Database -> ARN of its secret."
  value       = { for key, database in local.databases : database => aws_secretsmanager_secret.this[key].arn }
}

output "master_secret_arn" {
  description = "The secret with the master's password, managed by RDS."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}
