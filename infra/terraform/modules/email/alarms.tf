# Bounce and complaint rates. SES reviews accounts from 5 % bounces or 0.1 % complaints on, and may
# stop them from sending ("Monitoring your sender reputation" in its developer guide). These alarms
# come before that.

resource "aws_cloudwatch_metric_alarm" "reputation" {
  for_each = var.account_alarms ? {
    bounces    = { metric = "Reputation.BounceRate", threshold = 0.03 }
    complaints = { metric = "Reputation.ComplaintRate", threshold = 0.0005 }
  } : {}

  alarm_name        = "${var.prefix}-ses-${each.key}"
  alarm_description = "SES's rate of ${each.key} nears the point at which the account is put under review."

  namespace           = "AWS/SES"
  metric_name         = each.value.metric
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = each.value.threshold
  # Nothing is reported while nothing is sent.
  treat_missing_data = "ignore"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}
