mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  prefix                    = "prod"
  vpc_id                    = "vpc-00000000000000001"
  subnet_ids                = ["subnet-00000000000000001", "subnet-00000000000000002", "subnet-00000000000000003"]
  client_security_group_ids = { cluster = "sg-00000000000000001" }
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
}

run "production" {
  command = plan
  module {
    source = "./modules/database"
  }
  variables {
    alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:prod-alerts"]
  }

  assert {
    condition     = aws_db_instance.this.identifier == "prod-reminders" && aws_db_instance.this.multi_az && aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn
    error_message = "the database is in two zones, encrypted by the customer-managed key"
  }
  assert {
    condition     = aws_db_instance.this.backup_retention_period >= 7 && aws_db_instance.this.copy_tags_to_snapshot && !aws_db_instance.this.delete_automated_backups
    error_message = "it can be restored to any moment of the last days, even after it was deleted"
  }
  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == "prod-reminders-final-1"
    error_message = "it is protected, and leaves a last snapshot"
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "the master's password is RDS's and Secrets Manager's alone"
  }
  assert {
    condition     = !aws_db_instance.this.publicly_accessible
    error_message = "it has no public address"
  }
  assert {
    condition     = [for parameter in aws_db_parameter_group.this.parameter : parameter.value if parameter.name == "rds.force_ssl"] == ["1"] && aws_db_parameter_group.this.family == "postgres17"
    error_message = "connections without TLS are refused"
  }
  assert {
    condition     = toset(aws_db_instance.this.enabled_cloudwatch_logs_exports) == toset(["postgresql", "upgrade"]) && alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days == 365 && group.kms_key_id == var.kms_key_arn])
    error_message = "logs are kept for their time, encrypted"
  }
  assert {
    condition     = !strcontains(aws_db_instance.this.backup_window, "00:")
    error_message = "RDS's own backup keeps out of the way of the daily snapshot at 00:00"
  }
  assert {
    condition = length(aws_vpc_security_group_ingress_rule.clients) == 1 && alltrue([for rule in aws_vpc_security_group_ingress_rule.clients :
      rule.referenced_security_group_id == "sg-00000000000000001" && rule.cidr_ipv4 == null && rule.from_port == 5432 && rule.to_port == 5432
    ])
    error_message = "only the cluster reaches it, on PostgreSQL's port"
  }
  assert {
    condition     = aws_db_instance.this.vpc_security_group_ids == toset([aws_security_group.this.id])
    error_message = "no other security group lets anybody in"
  }
  assert {
    condition     = output.secret_names == { devices = "prod-device-db-secrets", notifications = "prod-notification-db-secrets", reminders = "prod-reminder-db-secrets" }
    error_message = "secrets have the names of the Kubernetes Secrets that they feed"
  }
  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == var.kms_key_arn && secret.recovery_window_in_days == 30])
    error_message = "secrets are encrypted, and can be had back"
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.this) == ["connections", "cpu", "disk-queue", "memory", "storage", "transaction-ids"]
    error_message = "what fills up is told before it is full"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions.DBInstanceIdentifier == "prod-reminders" && toset(alarm.alarm_actions) == toset(var.alarm_topic_arns)])
    error_message = "alarms are of this database, and told"
  }
}

run "a_sandbox_goes_without_a_trace" {
  command = plan
  module {
    source = "./modules/database"
  }
  variables {
    deletion_protection = false
    multi_az            = false
  }

  assert {
    condition     = !aws_db_instance.this.deletion_protection && aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.delete_automated_backups && alltrue([for secret in aws_secretsmanager_secret.this : secret.recovery_window_in_days == 0])
    error_message = "without protection everything is destroyable by variables alone"
  }
}

run "one_zone_is_refused" {
  command = plan
  module {
    source = "./modules/database"
  }
  variables {
    subnet_ids = ["subnet-00000000000000001"]
  }
  expect_failures = [var.subnet_ids]
}
