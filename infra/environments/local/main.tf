# The modules keys, messaging, email and iam on an emulator of AWS: real resources of an
# environment, on which the services run. scripts/terraform-local.sh applies it.

locals {
  configuration_set_name = "${var.prefix}-reminders"
}

module "keys" {
  source = "../../terraform/modules/keys"

  prefix               = var.prefix
  deletion_window_days = 7
}

module "messaging" {
  source = "../../terraform/modules/messaging"

  prefix                 = var.prefix
  kms_key_arn            = module.keys.messages_key_arn
  configuration_set_name = local.configuration_set_name
  raw_message_delivery   = var.raw_message_delivery
  alarms                 = false
}

module "email" {
  source = "../../terraform/modules/email"

  prefix                 = var.prefix
  source_email           = var.source_email
  identity               = "address"
  configuration_set_name = local.configuration_set_name
  feedback_topic_arn     = module.messaging.topic_arns["ses-feedback"]
  # The emulator does not know the call.
  default_configuration_set = false
}

# In place of the cluster's, which the emulator does not have.
resource "aws_iam_openid_connect_provider" "cluster" {
  url             = "https://oidc.example.com/id/local"
  client_id_list  = ["sts.amazonaws.com"]
  thumbprint_list = ["0000000000000000000000000000000000000000"]
}

module "iam" {
  source = "../../terraform/modules/iam"

  prefix                 = var.prefix
  namespace              = "local"
  oidc_provider_arn      = aws_iam_openid_connect_provider.cluster.arn
  topic_arns             = module.messaging.topic_arns
  queue_arns             = module.messaging.queue_arns
  dead_letter_queue_arns = module.messaging.dead_letter_queue_arns
  messages_key_arn       = module.keys.messages_key_arn
  sending_arns           = module.email.sending_arns
  source_address         = module.email.source_address
}
