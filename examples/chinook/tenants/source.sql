-- What the shop's owner makes: each customer belongs to the branch of a country. A view, so the shop's table stays.
create view public.branch_customer as
select coalesce(country, 'none') as branch, customer_id, first_name, last_name, email from public.customer;
