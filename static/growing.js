/** A page that grows with its answer is for browsers without scripts. This browser runs them, so it gets the other. */

document.cookie = document.currentScript.dataset.cookie; // deletes the cookie that asks for such pages
location.reload();
