// Asks for the token, where the server wants one.

import { token } from './api.js';

const $ = (id) => document.getElementById(id);

/** Opens the dialog, once, however many are refused. */
export function askForToken() {
  if ($('ask').open) return;
  if (token.get()) $('ask-text').textContent = 'That token was not accepted. Please enter it again.';
  $('token').value = '';
  $('ask').showModal();
}

/** Calls `entered` whenever a token was given. */
export function onToken(entered) {
  $('ask-form').addEventListener('submit', () => {
    token.set($('token').value);
    entered();
  });
  // Escape would leave a page that shows nothing and says nothing.
  $('ask').addEventListener('cancel', (event) => event.preventDefault());
}
