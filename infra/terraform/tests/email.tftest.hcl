mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  prefix                 = "prod"
  source_email           = "Reminders <reminders@mail.example.com>"
  configuration_set_name = "prod-reminders"
  feedback_topic_arn     = "arn:aws:sns:eu-central-1:123456789012:prod-ses-feedback-topic"
}

run "a_domain" {
  command = plan
  module {
    source = "./modules/email"
  }

  assert {
    condition     = aws_sesv2_email_identity.sender.email_identity == "mail.example.com"
    error_message = "the domain of the sender is what is verified"
  }
  assert {
    condition     = aws_sesv2_email_identity.sender.dkim_signing_attributes[0].next_signing_key_length == "RSA_2048_BIT"
    error_message = "mails are signed with a long key"
  }
  assert {
    condition     = output.source_address == "reminders@mail.example.com" && output.source_email == "Reminders <reminders@mail.example.com>"
    error_message = "the address is told with and without its name"
  }
  assert {
    condition     = aws_sesv2_email_identity.sender.configuration_set_name == "prod-reminders"
    error_message = "feedback comes of every mail of the domain"
  }
  assert {
    condition     = aws_sesv2_configuration_set.this.delivery_options[0].tls_policy == "REQUIRE" && aws_sesv2_configuration_set.this.reputation_options[0].reputation_metrics_enabled
    error_message = "mails travel by TLS, and their reputation is counted"
  }
  assert {
    condition     = length(aws_route53_record.dkim) == 0 && length(output.dns_records) == 6
    error_message = "without a hosted zone the records are told: three of DKIM, two of MAIL FROM, one of DMARC"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.reputation) == 0
    error_message = "the account's rates are one environment's to watch"
  }
  assert {
    condition     = aws_sesv2_configuration_set_event_destination.feedback.event_destination[0].enabled && aws_sesv2_configuration_set_event_destination.feedback.event_destination[0].sns_destination[0].topic_arn == var.feedback_topic_arn
    error_message = "SES tells the feedback topic"
  }
  assert {
    condition     = length(setsubtract(["BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE"], aws_sesv2_configuration_set_event_destination.feedback.event_destination[0].matching_event_types)) == 0
    error_message = "what corrects a delivery or suppresses an address is told"
  }
}

run "a_hosted_zone" {
  command = plan
  module {
    source = "./modules/email"
  }
  variables {
    route53_zone_id = "Z00000000000000000001"
    account_alarms  = true
  }

  assert {
    condition     = length(aws_route53_record.dkim) == 3 && keys(aws_route53_record.other) == ["dmarc", "mail_from_mx", "mail_from_spf"]
    error_message = "with a hosted zone the records are entered"
  }
  assert {
    condition     = aws_route53_record.other["mail_from_mx"].name == "bounce.mail.example.com" && aws_route53_record.other["mail_from_mx"].records == toset(["10 feedback-smtp.eu-central-1.amazonses.com"])
    error_message = "bounces come back to SES in this region"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.reputation["bounces"].threshold < 0.05 && aws_cloudwatch_metric_alarm.reputation["complaints"].threshold < 0.001
    error_message = "alarms come before SES's own limits"
  }
}

run "an_address_of_the_sandbox" {
  command = plan
  module {
    source = "./modules/email"
  }
  variables {
    identity           = "address"
    sandbox_recipients = ["tester@example.org"]
  }

  assert {
    condition     = aws_sesv2_email_identity.sender.email_identity == "reminders@mail.example.com" && length(aws_sesv2_email_identity_mail_from_attributes.sender) == 0 && length(output.dns_records) == 0
    error_message = "an address is verified by mail, and asks nothing of DNS"
  }
  assert {
    condition     = length(output.sending_arns) == 4
    error_message = "recipients are identities too, beside sender, configuration set and template"
  }
}

run "what_is_refused" {
  command = plan
  module {
    source = "./modules/email"
  }
  variables {
    feedback_events = ["COMPLAINT", "REJECT", "RENDERING_FAILURE"]
    source_email    = "reminders"
  }
  expect_failures = [var.feedback_events, var.source_email]
}
