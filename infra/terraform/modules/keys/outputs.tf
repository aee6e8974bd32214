output "messages_key_arn" {
  description = "The key of topics, queues and alerts."
  value       = aws_kms_key.messages.arn
}

output "data_key_arn" {
  description = "The key of the database, its secrets, logs and backups."
  value       = aws_kms_key.data.arn
}
