import { mount } from 'svelte';
import '../styles/tokens.css';
import '../styles/base.css';
import Stage from './Stage.svelte';

mount(Stage, { target: document.getElementById('app')! });
