import './style/tokens.css';
import './style/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { connect } from './backend';

const target = document.getElementById('app');
if (target) mount(App, { target, props: { backend: await connect() } });
