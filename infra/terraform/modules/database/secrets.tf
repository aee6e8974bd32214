# One secret for each database, with the name and keys of the corresponding Kubernetes Secret: host,
# name, user, password. scripts/terraform-databases.sh creates role, database and password and
# writes the value: a password created here would be in Terraform's state, and its change would
# reach the services before PostgreSQL.

locals {
  # Secret -> database and its owner. The notifications database serves event-service and
  # notification-scheduler.
  databases = { reminder = "reminders", notification = "notifications", device = "devices" }
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.databases

  name                    = "${var.prefix}-${each.key}-db-secrets"
  description             = "The database ${each.value} on ${local.name} and its owner; written by scripts/terraform-databases.sh"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.deletion_protection ? 30 : 0
}
