# Alarms of what the environments share.

resource "aws_cloudwatch_metric_alarm" "nat_ports" {
  for_each = module.network.nat_gateway_ids

  alarm_name        = "${var.cluster_name}-nat-${each.key}-out-of-ports"
  alarm_description = "The NAT gateway of ${each.key} refuses connections: too many to one destination at once."

  namespace           = "AWS/NATGateway"
  metric_name         = "ErrorPortAllocation"
  dimensions          = { NatGatewayId = each.value }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = [module.alerts.topic_arn]
  ok_actions    = [module.alerts.topic_arn]
}
