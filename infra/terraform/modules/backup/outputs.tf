output "bucket" {
  description = "The bucket with the exports."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this.arn
}

output "state_machine_arn" {
  description = "The state machine: start an execution of it to take a backup now."
  value       = aws_sfn_state_machine.this.arn
}

output "dumps_place" {
  description = "The place of the CronJob's dumps (BACKUP_PLACE)."
  value       = "s3://${aws_s3_bucket.this.id}/dumps"
}

output "dumps_role_arn" {
  description = "The CronJob's role (BACKUP_ROLE_ARN)."
  value       = aws_iam_role.dumps.arn
}
