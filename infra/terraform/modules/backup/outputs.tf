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
