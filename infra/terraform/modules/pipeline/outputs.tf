output "role_arns" {
  description = "Roles by purpose (`images`, `deploy-development`, …), for the workflows' `role-to-assume`."
  value       = { for purpose, role in aws_iam_role.this : purpose => role.arn }
}
