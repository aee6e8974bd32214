# Topics, queues and dead-letter queues of one environment: each topic feeds the queue of the same
# name, each queue has a dead-letter queue.
#
#   event-topic         ─▶ event-queue         (event-service)
#   notification-topic  ─▶ notification-queue  (notification-service)
#   ses-feedback-topic  ─▶ ses-feedback-queue  (notification-service; published to by SES)

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  names       = toset(["event", "notification", "ses-feedback"])
  day_seconds = 24 * 60 * 60
  # event-service publishes these to event-topic and does not read them; each would cost a message.
  # A message without a type is not filtered out, so that it ends as a dead letter.
  filter_policies = {
    event = jsonencode({
      eventType = [
        { exists = false },
        { anything-but = ["notification:created", "notification:updated", "notification:deleted"] },
      ]
    })
  }
  configuration_set = "arn:${data.aws_partition.current.partition}:ses:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:configuration-set/${var.configuration_set_name}"
}

resource "aws_sns_topic" "this" {
  for_each = local.names

  name              = "${var.prefix}-${each.key}-topic"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sqs_queue" "dead_letters" {
  for_each = local.names

  name                      = "${var.prefix}-${each.key}-queue-dlq"
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = 14 * local.day_seconds
}

resource "aws_sqs_queue" "this" {
  for_each = local.names

  name                      = "${var.prefix}-${each.key}-queue"
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = var.retention_days * local.day_seconds
  # For manual receives; the services set their own values with each receive.
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = 60

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = var.max_receive_count[each.key]
  })
}

# Dead letters of this queue only: a wrong redrive policy elsewhere cannot add others.
resource "aws_sqs_queue_redrive_allow_policy" "this" {
  for_each = local.names

  queue_url = aws_sqs_queue.dead_letters[each.key].id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[each.key].arn]
  })
}

resource "aws_sns_topic_subscription" "this" {
  for_each = local.names

  topic_arn            = aws_sns_topic.this[each.key].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this[each.key].arn
  raw_message_delivery = var.raw_message_delivery[each.key]
  filter_policy        = lookup(local.filter_policies, each.key, null)

  # Messages that SNS cannot put into the queue (a broken policy or key) go to the dead-letter queue
  # instead of being dropped.
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn })

  # SNS checks the subscription's permissions at its creation.
  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead_letters]
}
