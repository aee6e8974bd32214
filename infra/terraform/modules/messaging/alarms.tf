# Alarms of queues from CloudWatch, which work when the cluster's own monitoring is down. (The
# services' metrics have more detail.)

locals {
  watched = var.alarms ? local.names : toset([])
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.watched

  alarm_name        = "${var.prefix}-${each.key}-queue-dlq-not-empty"
  alarm_description = "Messages of ${var.prefix}-${each.key}-queue could not be consumed and wait with the dead letters."

  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters[each.key].name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  # SQS stops reporting on a queue that was idle for hours.
  treat_missing_data = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  for_each = local.watched

  alarm_name        = "${var.prefix}-${each.key}-queue-falls-behind"
  alarm_description = "The oldest message of ${var.prefix}-${each.key}-queue waits for more than ${var.oldest_message_alarm_seconds[each.key]} seconds."

  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.this[each.key].name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_message_alarm_seconds[each.key]
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "undelivered" {
  for_each = local.watched

  alarm_name        = "${var.prefix}-${each.key}-topic-cannot-deliver"
  alarm_description = "SNS cannot put messages of ${var.prefix}-${each.key}-topic into its queue: a policy or a key is broken."

  namespace           = "AWS/SNS"
  metric_name         = "NumberOfNotificationsFailed"
  dimensions          = { TopicName = aws_sns_topic.this[each.key].name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}
