locals {
  gib = 1024 * 1024 * 1024

  alarms = {
    cpu = {
      about      = "works at more than 80 % of its processors for 15 minutes", metric = "CPUUtilization", statistic = "Average",
      comparison = "GreaterThanThreshold", threshold = 80, period = 300, periods = 3
    }
    storage = {
      about     = "has less than 10 GiB of storage left, which did not grow by itself", metric = "FreeStorageSpace",
      statistic = "Minimum", comparison = "LessThanThreshold", threshold = 10 * local.gib, period = 300, periods = 3
    }
    memory = {
      about      = "has less than 256 MiB of memory free", metric = "FreeableMemory", statistic = "Minimum",
      comparison = "LessThanThreshold", threshold = 0.25 * local.gib, period = 300, periods = 3
    }
    connections = {
      about      = "has more connections than planned", metric = "DatabaseConnections", statistic = "Maximum",
      comparison = "GreaterThanThreshold", threshold = var.connection_alarm, period = 60, periods = 5
    }
    transaction-ids = {
      about     = "must be vacuumed: half of the transaction ids are used", metric = "MaximumUsedTransactionIDs",
      statistic = "Maximum", comparison = "GreaterThanThreshold", threshold = 1000000000, period = 300, periods = 1
    }
    disk-queue = {
      about     = "waits for its storage", metric = "DiskQueueDepth", statistic = "Average", comparison = "GreaterThanThreshold",
      threshold = 64, period = 300, periods = 3
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name        = "${local.name}-database-${each.key}"
  alarm_description = "The database ${local.name} ${each.value.about}."

  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = { DBInstanceIdentifier = aws_db_instance.this.identifier }
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold

  alarm_actions = var.alarm_topic_arns
  ok_actions    = var.alarm_topic_arns
}
