-- Run once, when the cluster is made: a database for each service that owns tables.
create database reminders;
create database notifications;
create database devices;
