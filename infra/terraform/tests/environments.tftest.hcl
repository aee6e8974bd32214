# The roots as a whole: the modules of each environment.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "disaster"
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  account_id   = "123456789012"
  region       = "eu-central-1"
  source_email = "Reminders <reminders@example.com>"
}

run "production" {
  command = plan
  module {
    source = "../environments/production"
  }
  variables {
    disaster_region = "eu-west-1"
  }

  assert {
    condition     = output.database.identifier == "prod-reminders" && output.services.SES_CONFIGURATION_SET == "prod-reminders"
    error_message = "everything has production's prefix"
  }
  assert {
    condition     = var.deletion_protection && var.database.multi_az && var.backup.retention_days == 1095 && var.email.account_alarms
    error_message = "production is protected, in two zones, kept for three years, and watches the account's rates"
  }
  assert {
    condition = toset(output.secrets) == toset([
      "prod-reminder-db-secrets", "prod-notification-db-secrets", "prod-device-db-secrets", "prod-sns-topics-secrets", "prod-sqs-queues-secrets",
      "prod-ses-secrets", "prod-fcm-secrets", "prod-operator-secrets",
    ])
    error_message = "each Kubernetes Secret has its source"
  }
  assert {
    condition = toset(keys(output.service_account_roles)) == toset([
      "prod-reminder-service", "prod-event-service", "prod-notification-scheduler", "prod-notification-service", "prod-external-secrets", "prod-backup",
    ])
    error_message = "each service account has its role"
  }
  assert {
    condition     = output.disaster.region == "eu-west-1" && output.disaster.backup_arn != null
    error_message = "backups are copied to another region"
  }
}

run "staging" {
  command = plan
  module {
    source = "../environments/staging"
  }

  assert {
    condition     = output.database.identifier == "stg-reminders" && var.database.multi_az && var.database.instance_class == "db.m7g.large"
    error_message = "staging has its prefix and production's size"
  }
}

run "development" {
  command = plan
  module {
    source = "../environments/development"
  }
  variables {
    email = { identity = "address", sandbox_recipients = ["tester@example.org"] }
  }

  assert {
    condition     = output.database.identifier == "dev-reminders" && !var.deletion_protection && !var.database.multi_az
    error_message = "development has its prefix, is small and can be destroyed"
  }
}

run "cluster" {
  command = plan
  module {
    source = "../environments/cluster"
  }
  variables {
    kubernetes_version = "1.35"
    availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    admins             = { platform = "arn:aws:iam::123456789012:role/platform" }
    github_repository  = "example/reminders"
  }

  assert {
    condition     = output.registry == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/reminders"
    error_message = "the cluster's root tells the registry"
  }
  assert {
    condition     = keys(output.pipeline_role_arns) == ["deploy-development", "deploy-production", "deploy-staging", "images"]
    error_message = "the pipeline's roles are there"
  }
  assert {
    condition     = length(output.network.database_cidrs) == 3 && length(aws_cloudwatch_metric_alarm.nat_ports) == 3
    error_message = "three zones, each watched"
  }
}

run "local" {
  command = plan
  module {
    source = "../environments/local"
  }
  variables {
    endpoint = "http://127.0.0.1:4566"
  }

  assert {
    condition = toset(keys(output.variables)) == toset([
      "BUS", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "EVENT_TOPIC_ARN", "NOTIFICATION_TOPIC_ARN",
      "EVENT_QUEUE_URL", "NOTIFICATION_QUEUE_URL", "SES_FEEDBACK_QUEUE_URL", "SES_SOURCE_EMAIL", "SES_CONFIGURATION_SET",
    ])
    error_message = "the services' variables are told"
  }
}

run "an_emulator_that_is_aws_is_refused" {
  command = plan
  module {
    source = "../environments/local"
  }
  variables {
    endpoint = "https://sqs.eu-central-1.amazonaws.com"
  }
  expect_failures = [var.endpoint]
}
