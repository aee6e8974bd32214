output "backup_arn" {
  description = "The copied backups, for a restore in this region."
  value       = aws_db_instance_automated_backups_replication.this.id
}
