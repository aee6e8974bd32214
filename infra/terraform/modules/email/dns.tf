# DNS records of the sender's domain, entered in a hosted zone if one is given, and listed in the
# output otherwise.

locals {
  # SES gives a domain exactly three DKIM tokens, known only after its creation, so they are
  # selected by position.
  dkim = local.is_domain ? [for place in range(3) : {
    name  = "${try(aws_sesv2_email_identity.sender.dkim_signing_attributes[0].tokens[place], "")}._domainkey.${local.domain}"
    type  = "CNAME"
    value = "${try(aws_sesv2_email_identity.sender.dkim_signing_attributes[0].tokens[place], "")}.dkim.amazonses.com"
  }] : []

  others = merge(
    local.mail_from == null ? {} : {
      mail_from_mx  = { name = local.mail_from, type = "MX", value = "10 feedback-smtp.${data.aws_region.current.name}.amazonses.com" }
      mail_from_spf = { name = local.mail_from, type = "TXT", value = "v=spf1 include:amazonses.com ~all" }
    },
    local.is_domain && var.dmarc_policy != null ? {
      dmarc = { name = "_dmarc.${local.domain}", type = "TXT", value = var.dmarc_policy }
    } : {},
  )
}

resource "aws_route53_record" "dkim" {
  count = var.route53_zone_id == null ? 0 : length(local.dkim)

  zone_id = var.route53_zone_id
  name    = local.dkim[count.index].name
  type    = local.dkim[count.index].type
  ttl     = 600
  records = [local.dkim[count.index].value]
}

resource "aws_route53_record" "other" {
  for_each = { for key, record in local.others : key => record if var.route53_zone_id != null }

  zone_id = var.route53_zone_id
  name    = each.value.name
  type    = each.value.type
  ttl     = 600
  records = [each.value.value]
}
