"""What of the tables Piccolo Admin shows to operators. Nothing shows by itself: a new table or column is put down here, among
what is shown or among what is kept back, and a test fails until it is.
"""

from collections.abc import Mapping
from typing import Final

# Of each table its key, by which its rows are ordered because PostgreSQL has an index of it, and what else is shown.
SHOWN: Final[Mapping[str, tuple[str, str]]] = {
    "alert": ("tenant_id id", "kind scope scope_id threshold day action message raised_at"),
    "allocation": ("tenant_id wallet_key cycle_start", "amount"),
    "api_key": (
        "id",
        "tenant_id name role hint created_at created_by expires_at last_used_at revoked_at requests_per_minute replaced_by",
    ),
    "audit_event": ("tenant_id id", "occurred_at actor role operation subject details idempotency_key"),
    "auto_recharge": (
        "tenant_id wallet_key",
        "enabled threshold amount monthly_limit in_flight declines retry_at disabled_reason month month_amount",
    ),
    "budget": ("tenant_id scope scope_id period", "cap thresholds"),
    "budget_counter": ("tenant_id scope scope_id period_key", "spent held"),
    "channel": ("tenant_id id", "kind name event_types hint actor created_at removed_at"),
    "customers_won": ("tenant_id id", "campaign won_on count actor recorded_at"),
    "delivery": ("tenant_id channel_id event_id", "state attempts next_attempt_at ended_at last_error"),
    "expense": (
        "tenant_id id",
        (
            "version campaign kind minor currency hours hourly_rate incurred_on description reference actor created_at"
            " changed_at deleted_at"
        ),
    ),
    "expense_version": (
        "tenant_id expense_id version",
        "change campaign kind minor currency hours hourly_rate incurred_on description actor changed_at",
    ),
    "idempotency_key": ("tenant_id operation key", "result_id created_at"),
    "identity_provider": (
        "tenant_id id",
        "issuer audience jwks_url role_claim admin_values service_values member_values client_id sign_in_scope actor created_at removed_at",
    ),
    "job_run": ("id", "job run_for started_at ended_at outcome done message"),
    "ledger_entry": (
        "tenant_id wallet_id sequence",
        (
            "type amount granted_after available_after reserved_after consumed_after expired_after draws repayments"
            " reservation_id reference note actor idempotency_key created_at"
        ),
    ),
    "lot": (
        "tenant_id id",
        "wallet_id source granted available reserved consumed expired is_open granted_at expires_at",
    ),
    "migration": ("id", "name app_name ran_on"),
    "outbox": ("tenant_id id", "type payload created_at published_at routed_at"),
    "payment_customer": ("tenant_id", "created_at"),
    "provider_key": ("tenant_id provider", "hint actor created_at"),
    "publication": ("sequence", "kind tenant_id body actor published_at"),
    "refusal": ("tenant_id id", "operation code message figures created_at asked"),
    "reservation": (
        "tenant_id id",
        (
            "state feature task_feature task_key route quantity rate_card provider model operation attribution month holds"
            " held_usd remaining_usd max_cost_usd recorded charges cost_usd settled_events created_at expires_at ended_at steps"
            " course"
        ),
    ),
    "scope": ("tenant_id kind id", "name client status pause_reason pause_period_key pause_cap"),
    "task": ("tenant_id feature key", "reservation_id"),
    "tenant": (
        "id",
        (
            "slug name status time_zone region plan unlimited_plan own_key_providers created_at cycle_anchor_day cycle_start"
            " cycle_end next_plan next_anchor_day next_time_zone"
        ),
    ),
    "top_up": (
        "tenant_id id",
        "wallet_key amount price currency bundle origin actor state credited taken_back created_at credited_at",
    ),
    "usage_amendment": (
        "tenant_id occurred_at id",
        (
            "recorded_at event_id reservation_id kind provider model operation feature project research campaign account"
            " client agent_role session task_run tags route cost counted unpriced price_effective_from charges"
            " credits_charged usd_charged"
        ),
    ),
    "usage_batch": ("tenant_id recorded_at id", "steps"),
    "usage_day": (
        "tenant_id day",
        (
            "kind route provider model operation feature agent_role campaign client project events calls failures unpriced"
            " input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens duration_ms cost"
            " credits_charged usd_charged"
        ),
    ),
    "usage_day_alone": (
        "tenant_id dimension day",
        (
            "value kind route provider model operation feature events calls failures unpriced input_tokens output_tokens"
            " cache_read_tokens cache_write_tokens reasoning_tokens duration_ms cost credits_charged usd_charged"
        ),
    ),
    "usage_event": (
        "tenant_id occurred_at id",
        (
            "recorded_at kind provider model operation feature reservation_id project research campaign account client"
            " agent_role session task_run tags route calls input_tokens output_tokens cache_read_tokens cache_write_tokens"
            " reasoning_tokens units results cost price_effective_from charges duration_ms success trace_id source event_id"
            " credits_charged usd_charged counted under_reservation steps"
        ),
    ),
    "usage_hour": (
        "tenant_id hour",
        (
            "kind route provider model operation feature agent_role campaign client project events calls failures unpriced"
            " input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens duration_ms cost"
            " credits_charged usd_charged"
        ),
    ),
    "usage_key": ("tenant_id source event_id", "usage_id"),
    "usage_mark": ("tenant_id quarter", ""),
    "wallet": (
        "tenant_id id",
        "key kind unit bucket_type granted available reserved consumed expired sequence low_balance",
    ),
}
HIDDEN: Final[Mapping[str, str]] = {
    "api_key.hash": "what a key is recognised by",
    "channel.sealed": "a webhook's address and signing secret",
    "provider_key.sealed": "a tenant's key at a provider",
    "payment_customer.customer_id": "who pays, as the payment rail knows them",
    "payment_customer.card_id": "a card that can be charged",
    "top_up.checkout_url": "a page where the order can be paid",
    "top_up.session_id": "leads to the payer at the payment rail",
    "top_up.payment_id": "leads to the payer at the payment rail",
    "top_up.facts": "holds the card",
    "idempotency_key.request_hash": "a request could be guessed from it",
    "usage_event.prompt_hash": "a prompt could be guessed from it",
    "usage_event.response_hash": "an answer could be guessed from it",
    "ledger_entry.previous_hash": "bytes that say nothing to a reader: purser audit checks them",
    "ledger_entry.hash": "as ledger_entry.previous_hash",
    "wallet.head_hash": "as ledger_entry.previous_hash",
}
