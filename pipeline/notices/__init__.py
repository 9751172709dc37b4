"""Tell the world of publications: `outbox` has what is to be sent, `content` says it, `delivery` sends it."""
