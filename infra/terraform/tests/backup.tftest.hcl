mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  prefix              = "prod"
  namespace           = "production"
  oidc_provider_arn   = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
  database_identifier = "prod-reminders"
  database_arn        = "arn:aws:rds:eu-central-1:123456789012:db:prod-reminders"
  kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
  alarm_topic_arns    = ["arn:aws:sns:eu-central-1:123456789012:prod-alerts"]
}

run "production" {
  command = plan
  module {
    source = "./modules/backup"
  }

  assert {
    condition     = aws_scheduler_schedule.this.schedule_expression == "cron(0 0 * * ? *)" && aws_scheduler_schedule.this.schedule_expression_timezone == "UTC" && aws_scheduler_schedule.this.flexible_time_window[0].mode == "OFF"
    error_message = "every day at 00:00 UTC"
  }
  assert {
    condition     = aws_scheduler_schedule.this.state == "ENABLED" && aws_scheduler_schedule.this.target[0].arn == aws_sfn_state_machine.this.arn
    error_message = "it starts the state machine"
  }
  assert {
    condition = [for state in values(jsondecode(aws_sfn_state_machine.this.definition).States) : state.Resource if state.Type == "Task"] == [
      "arn:aws:states:::aws-sdk:rds:describeDBSnapshots",
      "arn:aws:states:::aws-sdk:rds:describeExportTasks",
      "arn:aws:states:::aws-sdk:rds:describeDBSnapshots",
      "arn:aws:states:::aws-sdk:rds:startExportTask",
      "arn:aws:states:::aws-sdk:rds:createDBSnapshot",
    ]
    error_message = "it calls RDS, and nothing of ours"
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.this.definition).States["Take a snapshot"].Arguments.DbInstanceIdentifier == "prod-reminders"
    error_message = "it is this database's"
  }
  assert {
    condition = jsondecode(aws_sfn_state_machine.this.definition).States["Start the export"].Arguments == {
      ExportTaskIdentifier = "{% $snapshot %}"
      SourceArn            = "{% $snapshotArn %}"
      S3BucketName         = aws_s3_bucket.this.id
      S3Prefix             = "prod-reminders"
      IamRoleArn           = aws_iam_role.export.arn
      KmsKeyId             = var.kms_key_arn
    }
    error_message = "the export goes to the bucket, by the export role, encrypted"
  }
  assert {
    condition     = aws_s3_bucket.this.bucket == "prod-reminders-backups-123456789012-eu-central-1" && !aws_s3_bucket.this.force_destroy
    error_message = "the bucket has the prefix, and is not destroyed with what it holds"
  }
  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "what is overwritten can be had back"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    error_message = "the bucket encrypts by the customer-managed key"
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls, aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls, aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "nothing of it is public"
  }
  assert {
    condition     = [for it in jsondecode(aws_s3_bucket_policy.this.policy).Statement : [it.Effect, it.Principal, it.Action, it.Condition]] == [["Deny", "*", "s3:*", { Bool = { "aws:SecureTransport" = "false" } }]]
    error_message = "it is reached by TLS only"
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this.rule[0].expiration[0].days == 1095
    error_message = "an export is kept for three years"
  }
  assert {
    condition     = { for it in aws_s3_bucket_lifecycle_configuration.this.rule[0].transition : it.storage_class => it.days } == { STANDARD_IA = 30, GLACIER_IR = 90, DEEP_ARCHIVE = 365 }
    error_message = "it becomes cheaper with age"
  }
  assert {
    condition = { for role in [aws_iam_role.scheduler, aws_iam_role.state_machine, aws_iam_role.export] : role.name => [
      jsondecode(role.assume_role_policy).Statement[0].Principal.Service, jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"]
      ] } == {
      prod-reminders-backup          = ["states.amazonaws.com", "123456789012"]
      prod-reminders-backup-export   = ["export.rds.amazonaws.com", "123456789012"]
      prod-reminders-backup-schedule = ["scheduler.amazonaws.com", "123456789012"]
    }
    error_message = "each role is one service's, for this account"
  }
  assert {
    condition     = [for it in jsondecode(aws_iam_role_policy.state_machine.policy).Statement : it.Sid if it.Resource == "*"] == ["Export", "WriteItsLog"]
    error_message = "only calls that know no resource are allowed on every resource"
  }
  assert {
    condition     = [for it in jsondecode(aws_iam_role_policy.state_machine.policy).Statement : it.Resource if it.Sid == "EndItsOldSnapshots"] == ["arn:aws:rds:eu-central-1:123456789012:snapshot:prod-reminders-20*"]
    error_message = "it ends snapshots of its own, never the one that a destroyed database left"
  }
  assert {
    condition     = [for it in jsondecode(aws_iam_role_policy.state_machine.policy).Statement : it.Condition if it.Action == "iam:PassRole"] == [{ StringEquals = { "iam:PassedToService" = "export.rds.amazonaws.com" } }]
    error_message = "the export's role is handed to the export alone"
  }
  assert {
    condition     = jsondecode(aws_iam_role.dumps.assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:sub"] == "system:serviceaccount:production:prod-backup"
    error_message = "dumps are the CronJob's"
  }
  assert {
    condition     = alltrue([for it in jsondecode(aws_iam_role_policy.dumps.policy).Statement : endswith(it.Resource, "/dumps/*") if startswith(flatten([it.Action])[0], "s3:") && it.Action != "s3:ListBucket"]) && !strcontains(aws_iam_role_policy.dumps.policy, "Delete")
    error_message = "it writes into its folder, and deletes nothing"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.missing.evaluation_periods * aws_cloudwatch_metric_alarm.missing.period == 26 * 3600 && aws_cloudwatch_metric_alarm.missing.treat_missing_data == "breaching"
    error_message = "a backup that did not happen is told within 26 hours"
  }
  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.failed) == ["ExecutionsAborted", "ExecutionsFailed", "ExecutionsTimedOut"] && aws_cloudwatch_metric_alarm.not_started.metric_name == "InvocationDroppedCount"
    error_message = "a backup that fails is told at once"
  }
}

run "a_short_life_has_fewer_tiers" {
  command = plan
  module {
    source = "./modules/backup"
  }
  variables {
    retention_days = 90
  }

  assert {
    condition     = [for it in aws_s3_bucket_lifecycle_configuration.this.rule[0].transition : it.storage_class] == ["STANDARD_IA"]
    error_message = "nothing moves on the day it expires"
  }
}
