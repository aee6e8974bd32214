output "reader_role_arn" {
  description = "The role of the namespace's SecretStore, for its service account's annotation."
  value       = aws_iam_role.reader.arn
}

output "names" {
  description = "Names of the secrets, the ones to be entered by hand too."
  value = concat(
    values(aws_secretsmanager_secret.known)[*].name,
    values(aws_secretsmanager_secret.entered)[*].name,
  )
}

output "to_be_entered" {
  description = "Secrets that have no value until somebody enters one, and the value to enter."
  value       = { for key, about in var.entered_by_hand : aws_secretsmanager_secret.entered[key].name => about }
}
