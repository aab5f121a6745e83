-- Who knows whom.

-- One row for each pair of people, whoever asked. The smaller id comes first, so that there cannot be a second row.
create table contacts (
    id uuid primary key,
    first_id uuid not null references users on delete cascade,
    second_id uuid not null references users on delete cascade,
    requested_by uuid not null,
    status text not null check (status in ('pending', 'accepted')),
    created_at timestamptz not null,
    accepted_at timestamptz,
    constraint contacts_pair unique (first_id, second_id),
    check (first_id < second_id),
    check (requested_by in (first_id, second_id)),
    check ((status = 'accepted') = (accepted_at is not null))
);

create index contacts_of_second on contacts (second_id);
