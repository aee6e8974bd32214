# A failed backup raises an alarm at once, a missing one after 26 hours.

resource "aws_cloudwatch_metric_alarm" "failed" {
  for_each = toset(["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"])

  alarm_name        = "${local.name}-backup-${lower(replace(each.key, "Executions", ""))}"
  alarm_description = "A run of the backup of ${var.database_identifier} did not succeed; its execution says why."

  namespace           = "AWS/States"
  metric_name         = each.key
  dimensions          = { StateMachineArn = aws_sfn_state_machine.this.arn }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "missing" {
  alarm_name        = "${local.name}-backup-missing"
  alarm_description = "There was no successful backup of ${var.database_identifier} for 26 hours."
  actions_enabled   = var.enabled

  namespace           = "AWS/States"
  metric_name         = "ExecutionsSucceeded"
  dimensions          = { StateMachineArn = aws_sfn_state_machine.this.arn }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 26
  datapoints_to_alarm = 26
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "not_started" {
  alarm_name        = "${local.name}-backup-not-started"
  alarm_description = "EventBridge Scheduler gave up starting the backup of ${var.database_identifier}."

  namespace           = "AWS/Scheduler"
  metric_name         = "InvocationDroppedCount"
  dimensions          = { ScheduleGroup = aws_scheduler_schedule_group.this.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
}
