# E-mail by SES: the sender (identity, DKIM, MAIL FROM), feedback about e-mails (configuration set),
# and a template stored by SES.

data "aws_region" "current" {}

locals {
  address    = regex("[^@<>\\s]+@[^@<>\\s]+", var.source_email)
  domain     = split("@", local.address)[1]
  is_domain  = var.identity == "domain"
  mail_from  = local.is_domain && var.mail_from_subdomain != null ? "${var.mail_from_subdomain}.${local.domain}" : null
  identities = concat([aws_sesv2_email_identity.sender.arn], [for recipient in aws_sesv2_email_identity.recipient : recipient.arn])
}

resource "aws_sesv2_configuration_set" "this" {
  configuration_set_name = var.configuration_set_name

  delivery_options {
    tls_policy = "REQUIRE"
  }

  reputation_options {
    reputation_metrics_enabled = true
  }

  sending_options {
    sending_enabled = true
  }

  # SES's own suppression list as a second protection: notification-service keeps its own, by
  # digest.
  suppression_options {
    suppressed_reasons = ["BOUNCE", "COMPLAINT"]
  }
}

resource "aws_sesv2_configuration_set_event_destination" "feedback" {
  configuration_set_name = aws_sesv2_configuration_set.this.configuration_set_name
  event_destination_name = "feedback"

  event_destination {
    enabled              = true
    matching_event_types = var.feedback_events

    sns_destination {
      topic_arn = var.feedback_topic_arn
    }
  }
}

resource "aws_sesv2_email_identity" "sender" {
  email_identity         = local.is_domain ? local.domain : local.address
  configuration_set_name = var.default_configuration_set ? aws_sesv2_configuration_set.this.configuration_set_name : null

  dynamic "dkim_signing_attributes" {
    for_each = local.is_domain ? ["RSA_2048_BIT"] : []

    content {
      next_signing_key_length = dkim_signing_attributes.value
    }
  }
}

resource "aws_sesv2_email_identity_mail_from_attributes" "sender" {
  count = local.mail_from == null ? 0 : 1

  email_identity   = aws_sesv2_email_identity.sender.email_identity
  mail_from_domain = local.mail_from
  # If MAIL FROM fails, SES's own domain is used, so that the e-mail is still sent.
  behavior_on_mx_failure = "USE_DEFAULT_VALUE"
}

resource "aws_sesv2_email_identity" "recipient" {
  for_each = var.sandbox_recipients

  email_identity = each.value
}

# A template in one language, stored by SES (SES_EMAIL_TEMPLATE). Without the variable
# notification-service renders e-mails in the reader's language.
resource "aws_ses_template" "reminder" {
  name    = "${var.prefix}-reminder"
  subject = trimspace(file("${path.module}/templates/subject.txt"))
  text    = file("${path.module}/templates/body.txt")
  html    = file("${path.module}/templates/body.html")
}
