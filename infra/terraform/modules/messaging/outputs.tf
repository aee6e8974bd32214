output "topic_arns" {
  description = "ARNs of the topics by name (`event`, `notification`, `ses-feedback`)."
  value       = { for name in local.names : name => aws_sns_topic.this[name].arn }
}

output "queue_urls" {
  description = "URLs of the queues by name."
  value       = { for name in local.names : name => aws_sqs_queue.this[name].id }
}

output "queue_arns" {
  description = "ARNs of the queues by name."
  value       = { for name in local.names : name => aws_sqs_queue.this[name].arn }
}

output "dead_letter_queue_arns" {
  description = "ARNs of the dead-letter queues by the name of the queue they belong to."
  value       = { for name in local.names : name => aws_sqs_queue.dead_letters[name].arn }
}
