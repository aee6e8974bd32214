# All resources of one environment: keys, alerts, messages, e-mail, database, backups, secrets and
# the services' roles. Cluster and network are shared (infra/environments/cluster).

data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

data "aws_iam_openid_connect_provider" "this" {
  url = data.aws_eks_cluster.this.identity[0].oidc[0].issuer
}

data "aws_subnets" "database" {
  filter {
    name   = "vpc-id"
    values = [data.aws_eks_cluster.this.vpc_config[0].vpc_id]
  }
  filter {
    name   = "tag:Tier"
    values = ["database"]
  }
}

locals {
  configuration_set_name = "${var.prefix}-reminders"
  secrets_recovery_days  = var.deletion_protection ? 30 : 0
}

module "keys" {
  source = "../keys"

  prefix               = var.prefix
  deletion_window_days = var.deletion_protection ? 30 : 7
}

module "alerts" {
  source = "../alerts"

  prefix      = var.prefix
  kms_key_arn = module.keys.messages_key_arn
  subscribers = var.alert_subscribers
}

module "messaging" {
  source = "../messaging"

  prefix                 = var.prefix
  kms_key_arn            = module.keys.messages_key_arn
  configuration_set_name = local.configuration_set_name
  raw_message_delivery   = var.raw_message_delivery
  alarm_topic_arns       = [module.alerts.topic_arn]
}

module "email" {
  source = "../email"

  prefix                 = var.prefix
  source_email           = var.source_email
  identity               = var.email.identity
  configuration_set_name = local.configuration_set_name
  feedback_topic_arn     = module.messaging.topic_arns["ses-feedback"]
  sandbox_recipients     = var.email.sandbox_recipients
  route53_zone_id        = var.email.route53_zone_id
  mail_from_subdomain    = var.email.mail_from_subdomain
  dmarc_policy           = var.email.dmarc_policy
  account_alarms         = var.email.account_alarms
  alarm_topic_arns       = [module.alerts.topic_arn]
}

module "iam" {
  source = "../iam"

  prefix                   = var.prefix
  namespace                = var.environment
  oidc_provider_arn        = data.aws_iam_openid_connect_provider.this.arn
  topic_arns               = module.messaging.topic_arns
  queue_arns               = module.messaging.queue_arns
  dead_letter_queue_arns   = module.messaging.dead_letter_queue_arns
  messages_key_arn         = module.keys.messages_key_arn
  sending_arns             = module.email.sending_arns
  source_address           = module.email.source_address
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "database" {
  source = "../database"

  prefix                    = var.prefix
  vpc_id                    = data.aws_eks_cluster.this.vpc_config[0].vpc_id
  subnet_ids                = data.aws_subnets.database.ids
  client_security_group_ids = { cluster = data.aws_eks_cluster.this.vpc_config[0].cluster_security_group_id }
  kms_key_arn               = module.keys.data_key_arn
  engine_version            = var.database.engine_version
  instance_class            = var.database.instance_class
  multi_az                  = var.database.multi_az
  storage_gib               = var.database.storage_gib
  backup_retention_days     = var.database.backup_retention_days
  connection_alarm          = var.database.connection_alarm
  deletion_protection       = var.deletion_protection
  log_retention_days        = var.log_retention_days
  alarm_topic_arns          = [module.alerts.topic_arn]
}

module "backup" {
  source = "../backup"

  prefix                  = var.prefix
  namespace               = var.environment
  oidc_provider_arn       = data.aws_iam_openid_connect_provider.this.arn
  database_identifier     = module.database.identifier
  database_arn            = module.database.arn
  kms_key_arn             = module.keys.data_key_arn
  enabled                 = var.backup.enabled
  retention_days          = var.backup.retention_days
  snapshot_retention_days = var.backup.snapshot_retention_days
  force_destroy           = !var.deletion_protection
  log_retention_days      = var.log_retention_days
  alarm_topic_arns        = [module.alerts.topic_arn]
}

module "secrets" {
  source = "../secrets"

  prefix               = var.prefix
  namespace            = var.environment
  oidc_provider_arn    = data.aws_iam_openid_connect_provider.this.arn
  kms_key_arn          = module.keys.data_key_arn
  recovery_window_days = local.secrets_recovery_days
  other_secret_arns    = values(module.database.secret_arns)

  values = {
    sns-topics-secrets = {
      event_topic        = module.messaging.topic_arns["event"]
      notification_topic = module.messaging.topic_arns["notification"]
    }
    sqs-queues-secrets = {
      event_queue        = module.messaging.queue_urls["event"]
      notification_queue = module.messaging.queue_urls["notification"]
      ses_feedback_queue = module.messaging.queue_urls["ses-feedback"]
    }
    ses-secrets = {
      source_email = module.email.source_email
      # Empty: notification-service's own e-mails, in the reader's language.
      reminder_template = var.email.stored_template ? module.email.template_name : ""
    }
  }
}
