# Every day at 00:00 UTC: a snapshot, its export to the bucket, and the deletion of old snapshots.
# EventBridge Scheduler starts a Step Functions state machine that calls RDS; there is no code to
# run or patch. The state machine waits until snapshot and export are done, so one execution has the
# complete record and fails visibly.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  name       = "${var.prefix}-reminders"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name
  # Snapshots of this schedule, and no others: prod-reminders-2026-11-21-0000.
  snapshots = "arn:${local.partition}:rds:${local.region}:${local.account_id}:snapshot:${var.database_identifier}-20*"
}

resource "aws_sfn_state_machine" "this" {
  name     = "${local.name}-backup"
  role_arn = aws_iam_role.state_machine.arn

  definition = templatefile("${path.module}/backup.asl.json", {
    database            = var.database_identifier
    bucket              = aws_s3_bucket.this.id
    export_role_arn     = aws_iam_role.export.arn
    kms_key_arn         = var.kms_key_arn
    keep_days           = var.snapshot_retention_days
    environment_of_tags = var.prefix
  })

  logging_configuration {
    level                  = "ERROR"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.this.arn}:*"
  }

  # AWS checks the role's rights to log when the state machine is created.
  depends_on = [aws_iam_role_policy.state_machine]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/vendedlogs/states/${local.name}-backup"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# A separate group: CloudWatch counts failures to start by group.
resource "aws_scheduler_schedule_group" "this" {
  name = "${local.name}-backup"
}

resource "aws_scheduler_schedule" "this" {
  name        = "daily"
  group_name  = aws_scheduler_schedule_group.this.name
  description = "Snapshot of ${var.database_identifier} and its export to ${aws_s3_bucket.this.id}"
  state       = var.enabled ? "ENABLED" : "DISABLED"
  kms_key_arn = var.kms_key_arn

  schedule_expression          = var.schedule
  schedule_expression_timezone = "UTC"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_sfn_state_machine.this.arn
    role_arn = aws_iam_role.scheduler.arn
    input    = "{}"

    retry_policy {
      maximum_event_age_in_seconds = 4 * 60 * 60
      maximum_retry_attempts       = 100
    }
  }
}
