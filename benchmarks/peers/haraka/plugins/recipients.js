'use strict'
// Asks PostgreSQL about every recipient, over a pool of connections in each process: one query an
// address, prepared once. What is known is accepted into Haraka's own outbound queue.

const { Pool } = require('pg')

const KNOWN = { name: 'known', text: 'SELECT 1 FROM benchmark_peers_aliases WHERE address = $1' }

let pool

exports.register = function () {
    const { main } = this.config.get('recipients.ini')
    const open = (next) => {
        pool = new Pool({
            host: main.host,
            database: main.database,
            user: main.user,
            password: main.password,
            max: Number(main.connections),
            idleTimeoutMillis: 0,
        })
        next()
    }
    this.register_hook('init_master', 'open')
    this.register_hook('init_child', 'open')
    this.open = open
}

// No look-up of the client's name.
exports.hook_lookup_rdns = (next) => next(OK, 'load.bench.example')

exports.hook_mail = (next) => next(OK)

exports.hook_rcpt = async (next, connection, [recipient]) => {
    const address = `${recipient.user}@${recipient.host}`.toLowerCase()
    try {
        const found = await pool.query({ ...KNOWN, values: [address] })
        if (found.rowCount === 0) return next(DENY, 'no such address')
    } catch (error) {
        connection.logerror(`look-up failed: ${error.message}`)
        return next(DENYSOFT, 'look-up failed')
    }
    connection.relaying = true // makes the outbound queue the place for the message
    next(OK)
}
