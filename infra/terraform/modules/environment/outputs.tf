output "services" {
  description = "The services' variables that the infrastructure defines."
  value = {
    BUS                    = "aws"
    AWS_REGION             = data.aws_region.current.name
    EVENT_TOPIC_ARN        = module.messaging.topic_arns["event"]
    NOTIFICATION_TOPIC_ARN = module.messaging.topic_arns["notification"]
    EVENT_QUEUE_URL        = module.messaging.queue_urls["event"]
    NOTIFICATION_QUEUE_URL = module.messaging.queue_urls["notification"]
    SES_FEEDBACK_QUEUE_URL = module.messaging.queue_urls["ses-feedback"]
    SES_SOURCE_EMAIL       = module.email.source_email
    SES_EMAIL_TEMPLATE     = module.email.template_name
    SES_CONFIGURATION_SET  = module.email.configuration_set_name
  }
}

output "service_account_roles" {
  description = "Service account -> role, for the annotation `eks.amazonaws.com/role-arn`."
  value = merge(
    { for service, arn in module.iam.role_arns : "${var.prefix}-${service}" => arn },
    { "${var.prefix}-external-secrets" = module.secrets.reader_role_arn, "${var.prefix}-backup" = module.backup.dumps_role_arn },
  )
}

output "secrets" {
  description = "Secrets in Secrets Manager; each feeds the Kubernetes Secret of its name."
  value       = sort(concat(module.secrets.names, values(module.database.secret_names)))
}

output "secrets_to_be_entered" {
  description = "Secrets whose values somebody must enter."
  value       = module.secrets.to_be_entered
}

output "database" {
  description = "The database: what scripts/terraform-databases.sh and a restore need."
  value = {
    identifier        = module.database.identifier
    arn               = module.database.arn
    address           = module.database.address
    master_secret_arn = module.database.master_secret_arn
    secret_names      = module.database.secret_names
  }
}

output "backup" {
  description = "The place of backups, and the state machine that takes one."
  value = {
    bucket            = module.backup.bucket
    dumps_place       = module.backup.dumps_place
    state_machine_arn = module.backup.state_machine_arn
  }
}

output "dns_records" {
  description = "DNS records of the sender's domain."
  value       = module.email.dns_records
}

output "alerts_topic_arn" {
  description = "The topic of alarms."
  value       = module.alerts.topic_arn
}

data "aws_region" "current" {}
