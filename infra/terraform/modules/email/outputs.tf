output "source_email" {
  description = "The sender (SES_SOURCE_EMAIL)."
  value       = var.source_email
}

output "source_address" {
  description = "The sender's bare address."
  value       = local.address
}

output "configuration_set_name" {
  description = "The configuration set (SES_CONFIGURATION_SET)."
  value       = aws_sesv2_configuration_set.this.configuration_set_name
}

output "template_name" {
  description = "The template that SES keeps (SES_EMAIL_TEMPLATE, where it is wanted)."
  value       = aws_ses_template.reminder.name
}

output "sending_arns" {
  description = "What a send touches: identities, configuration set, template."
  value       = concat(local.identities, [aws_sesv2_configuration_set.this.arn, aws_ses_template.reminder.arn])
}

output "dns_records" {
  description = "What the sender's domain must say in DNS; entered already where a hosted zone was given."
  value       = concat(local.dkim, values(local.others))
}
