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
  description = "The template stored by SES (for SES_EMAIL_TEMPLATE)."
  value       = aws_ses_template.reminder.name
}

output "sending_arns" {
  description = "Resources of a send: identities, configuration set, template."
  value       = concat(local.identities, [aws_sesv2_configuration_set.this.arn, aws_ses_template.reminder.arn])
}

output "dns_records" {
  description = "DNS records of the sender's domain; already entered if a hosted zone was given."
  value       = concat(local.dkim, values(local.others))
}
