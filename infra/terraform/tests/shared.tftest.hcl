# The small modules: keys, alerts, disaster.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "keys" {
  command = plan
  module {
    source = "./modules/keys"
  }
  variables {
    prefix = "prod"
  }

  assert {
    condition     = aws_kms_key.messages.enable_key_rotation && aws_kms_key.data.enable_key_rotation && aws_kms_key.data.deletion_window_in_days == 30
    error_message = "keys change every year, and can be recovered"
  }
  assert {
    condition     = aws_kms_alias.messages.name == "alias/prod-messages" && aws_kms_alias.data.name == "alias/prod-data"
    error_message = "keys have the prefix"
  }
  assert {
    condition     = jsondecode(aws_kms_key.messages.policy).Statement[1].Principal.Service == ["cloudwatch.amazonaws.com", "ses.amazonaws.com", "sns.amazonaws.com"]
    error_message = "who publishes can encrypt, or SNS would put nothing into an encrypted queue"
  }
  assert {
    condition     = !anytrue([for service in ["sns", "ses", "cloudwatch"] : strcontains(aws_kms_key.data.policy, "${service}.amazonaws.com")])
    error_message = "the key of data lets no publisher in"
  }
}

run "alerts" {
  command = plan
  module {
    source = "./modules/alerts"
  }
  variables {
    prefix      = "prod"
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
    subscribers = ["on-call@example.com"]
  }

  assert {
    condition     = aws_sns_topic.this.name == "prod-alerts" && aws_sns_topic.this.kms_master_key_id == var.kms_key_arn && aws_sns_topic_subscription.email["on-call@example.com"].protocol == "email"
    error_message = "alarms are told by mail"
  }
  assert {
    condition     = jsondecode(aws_sns_topic_policy.this.policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:*"
    error_message = "by alarms of this account"
  }
}

run "disaster" {
  command = plan
  module {
    source = "./modules/disaster"
  }
  variables {
    prefix       = "prod"
    database_arn = "arn:aws:rds:eu-central-1:123456789012:db:prod-reminders"
  }

  assert {
    condition     = aws_db_instance_automated_backups_replication.this.source_db_instance_arn == "arn:aws:rds:eu-central-1:123456789012:db:prod-reminders" && aws_db_instance_automated_backups_replication.this.kms_key_id == aws_kms_key.this.arn
    error_message = "backups are copied under a key of the other region"
  }
}
