# Topics, queues and dead letters of one environment: each topic feeds the queue of the same name,
# each queue has its dead letters.
#
#   event-topic         ─▶ event-queue         (event-service)
#   notification-topic  ─▶ notification-queue  (notification-service)
#   ses-feedback-topic  ─▶ ses-feedback-queue  (notification-service; published to by SES)

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  names             = toset(["event", "notification", "ses-feedback"])
  day_seconds       = 24 * 60 * 60
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
  # What the services ask for with each receive counts; these are for whoever looks by hand.
  receive_wait_time_seconds  = 20
  visibility_timeout_seconds = 60

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = var.max_receive_count[each.key]
  })
}

# Dead letters of this queue alone: a wrong redrive policy elsewhere cannot mix others in.
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

  # What SNS cannot put into the queue (a policy or a key that was broken) waits with the dead
  # letters instead of being dropped.
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn })

  # SNS tries the subscription's permissions when it is made.
  depends_on = [aws_sqs_queue_policy.this, aws_sqs_queue_policy.dead_letters]
}
