output "variables" {
  description = "The services' variables, by name. The emulator accepts any credentials."
  value = {
    BUS                    = "aws"
    AWS_REGION             = var.region
    AWS_ENDPOINT_URL       = var.endpoint
    AWS_ACCESS_KEY_ID      = "test"
    AWS_SECRET_ACCESS_KEY  = "test"
    EVENT_TOPIC_ARN        = module.messaging.topic_arns["event"]
    NOTIFICATION_TOPIC_ARN = module.messaging.topic_arns["notification"]
    EVENT_QUEUE_URL        = module.messaging.queue_urls["event"]
    NOTIFICATION_QUEUE_URL = module.messaging.queue_urls["notification"]
    SES_FEEDBACK_QUEUE_URL = module.messaging.queue_urls["ses-feedback"]
    SES_SOURCE_EMAIL       = module.email.source_email
    SES_CONFIGURATION_SET  = module.email.configuration_set_name
  }
}

output "template_name" {
  description = "The template stored by SES (for SES_EMAIL_TEMPLATE)."
  value       = module.email.template_name
}

output "role_arns" {
  description = "The services' roles."
  value       = module.iam.role_arns
}
