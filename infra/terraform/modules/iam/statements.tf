data "aws_region" "current" {}

locals {
  # Publish, and check at the start that the topic exists.
  publish = { for name, arn in var.topic_arns : name => {
    Sid      = "PublishTo${title(name)}Topic"
    Effect   = "Allow"
    Action   = ["sns:GetTopicAttributes", "sns:Publish"]
    Resource = arn
  } }

  # Receive and settle. A queue may be configured by its name: GetQueueUrl.
  consume = { for name, arn in var.queue_arns : name => {
    Sid    = "Consume${join("", [for word in split("-", name) : title(word)])}Queue"
    Effect = "Allow"
    Action = [
      "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage",
    ]
    Resource = arn
  } }

  # Dead-letter messages that can never be consumed, with their reason.
  reject = { for name, arn in var.dead_letter_queue_arns : name => {
    Sid      = "Reject${join("", [for word in split("-", name) : title(word)])}Messages"
    Effect   = "Allow"
    Action   = ["sqs:GetQueueUrl", "sqs:SendMessage"]
    Resource = arn
  } }

  # event-service's GET /dead-letters and POST /dead-letters/redrive, for its own queue and
  # notification-service's two.
  redriven = ["event", "notification", "ses-feedback"]
  redrive = [
    {
      Sid    = "LookAtDeadLetters"
      Effect = "Allow"
      Action = [
        "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage",
      ]
      Resource = [for name in local.redriven : var.dead_letter_queue_arns[name]]
    },
    {
      Sid      = "PutDeadLettersBack"
      Effect   = "Allow"
      Action   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"]
      Resource = [for name in local.redriven : var.queue_arns[name]]
    },
  ]

  # A publisher generates its message's data key and a consumer decrypts it, through SNS and SQS
  # only.
  keys = { for services, names in { sns = ["sns"], sns_sqs = ["sns", "sqs"] } : services => {
    Sid      = "KeysOfMessages"
    Effect   = "Allow"
    Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource = var.messages_key_arn
    Condition = {
      StringEquals = { "kms:ViaService" = [for name in names : "${name}.${data.aws_region.current.name}.amazonaws.com"] }
    }
  } }

  email = [
    {
      Sid       = "SendAsOurselves"
      Effect    = "Allow"
      Action    = ["ses:SendRawEmail", "ses:SendTemplatedEmail"]
      Resource  = var.sending_arns
      Condition = { StringEquals = { "ses:FromAddress" = var.source_address } }
    },
    {
      # These calls have no resources: the rate belongs to the account, and a policy cannot name
      # templates.
      Sid      = "ReadRateAndTemplate"
      Effect   = "Allow"
      Action   = ["ses:GetSendQuota", "ses:GetTemplate"]
      Resource = "*"
    },
  ]

  statements = {
    reminder-service       = [local.publish.event, local.keys.sns]
    event-service          = concat([local.publish.event, local.consume.event, local.reject.event], local.redrive, [local.keys.sns_sqs])
    notification-scheduler = [local.publish.notification, local.keys.sns]
    notification-service = concat(
      [local.publish.event, local.consume.notification, local.reject.notification],
      [local.consume.ses-feedback, local.reject.ses-feedback, local.keys.sns_sqs],
      local.email,
    )
  }
}
